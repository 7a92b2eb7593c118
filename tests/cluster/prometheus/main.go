// A Prometheus for the tests: its own scraping, storage and query engine, without the rest.
//
// The official program cannot be built in a few minutes, since it holds the SDKs of every cloud for
// its service discovery. Here targets come from one file, and of the API there is what the product
// asks for. Its settings are those of the official program, where they matter to an answer.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	version = "0.313.5"
	job     = "pods"
	look    = 200 * time.Millisecond // how often the file of targets is read
)

func main() {
	folder := flag.String("folder", "", "for the storage, targets.json and, once it serves, address")
	interval := flag.Duration("interval", 500*time.Millisecond, "between two scrapes of a target")
	say := flag.Bool("version", false, "print the version and end")
	flag.Parse()
	if *say {
		fmt.Println("prometheus", version)
		return
	}
	if err := run(*folder, *interval); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(folder string, interval time.Duration) error {
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := tsdb.Open(filepath.Join(folder, "data"), quiet, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := collect(folder, interval, db, quiet); err != nil {
		return err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		Logger:               quiet,
		MaxSamples:           50_000_000,
		Timeout:              2 * time.Minute,
		LookbackDelta:        5 * time.Minute,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               parser.NewParser(parser.Options{}),
	})
	http.Handle("/api/v1/query", answering(engine, db))
	return serve(filepath.Join(folder, "address"))
}

// serve listens on a port of the kernel's choice and writes it to a file, whole or not at all.
func serve(address string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := []byte("http://" + listener.Addr().String())
	if err := os.WriteFile(address+".new", url, 0o600); err != nil {
		return err
	}
	if err := os.Rename(address+".new", address); err != nil {
		return err
	}
	return http.Serve(listener, nil)
}

// collect scrapes every target of the file into db, from now on.
func collect(folder string, interval time.Duration, db *tsdb.DB, log *slog.Logger) error {
	text := "global: {scrape_interval: %[1]s, scrape_timeout: %[1]s}\n" +
		"scrape_configs: [{job_name: %[2]s}]\n"
	settings, err := config.Load(fmt.Sprintf(text, model.Duration(interval), job), log)
	if err != nil {
		return err
	}
	options := &scrape.Options{DiscoveryReloadInterval: model.Duration(look)}
	registry := prometheus.NewRegistry()
	manager, err := scrape.NewManager(options, log, nil, newStore(db), nil, registry)
	if err != nil {
		return err
	}
	if err := manager.ApplyConfig(settings); err != nil {
		return err
	}
	found := make(chan map[string][]*targetgroup.Group)
	go manager.Run(found)
	go follow(filepath.Join(folder, "targets.json"), found)
	return nil
}

// follow tells of the targets in the file, again and again. A file that is not there has none.
func follow(path string, found chan<- map[string][]*targetgroup.Group) {
	for ; ; time.Sleep(look) {
		var groups []*targetgroup.Group
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &groups)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			slog.Error("targets", "error", err)
			continue
		}
		for number, group := range groups {
			group.Source = fmt.Sprint(number)
		}
		found <- map[string][]*targetgroup.Group{job: groups}
	}
}

// store lets nothing be written between SIGUSR1 and SIGUSR2, as a disk that hangs: queries are
// answered all the while.
type store struct {
	storage.Appendable
	hangs sync.RWMutex
}

func newStore(below storage.Appendable) *store {
	made := &store{Appendable: below}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for held := false; ; {
			if next := <-signals == syscall.SIGUSR1; next == held {
				continue
			}
			if held = !held; held {
				made.hangs.Lock()
			} else {
				made.hangs.Unlock()
			}
		}
	}()
	return made
}

func (s *store) Appender(ctx context.Context) storage.Appender {
	s.hangs.RLock()
	defer s.hangs.RUnlock()
	return s.Appendable.Appender(ctx)
}

// answer is the API's envelope: https://prometheus.io/docs/prometheus/latest/querying/api/
type answer struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

type data struct {
	ResultType parser.ValueType `json:"resultType"`
	Result     parser.Value     `json:"result"`
}

func answering(engine *promql.Engine, db storage.Queryable) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		asked := in.FormValue("query")
		query, err := engine.NewInstantQuery(in.Context(), db, nil, asked, time.Now())
		if err != nil {
			reply(out, http.StatusBadRequest, answer{ErrorType: "bad_data", Error: err.Error()})
			return
		}
		defer query.Close()
		result := query.Exec(in.Context())
		if result.Err != nil {
			told := answer{ErrorType: "execution", Error: result.Err.Error()}
			reply(out, http.StatusUnprocessableEntity, told)
			return
		}
		warnings, infos := result.Warnings.AsStrings(asked, 10, 10)
		good := data{result.Value.Type(), result.Value}
		reply(out, http.StatusOK, answer{Data: good, Warnings: warnings, Infos: infos})
	})
}

func reply(out http.ResponseWriter, status int, told answer) {
	told.Status = "success"
	if status != http.StatusOK {
		told.Status = "error"
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(status)
	if err := json.NewEncoder(out).Encode(told); err != nil {
		slog.Error("reply", "error", err)
	}
}
