"""The suite's assertions explain themselves as those of any test file do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.targets.conformance")
