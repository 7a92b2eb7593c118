"""Mistakes with workspaces, models and streams."""

from __future__ import annotations

import pulumi
import sound
from pulumi_azure_native import cognitiveservices, eventhub
from pulumi_azure_native import machinelearningservices as ml

# GL-AZ-AML-001, GL-AZ-AML-002: jobs send data wherever they like
ml.Workspace("unbounded", **sound.workspace("unbounded", managed_network=None))

# GL-AZ-AML-002: jobs send data to all of the internet
ml.Workspace(
    "outbound",
    **sound.workspace("outbound", managed_network={"isolation_mode": "AllowInternetOutbound"}),
)

# GL-AZ-AML-003: new operations go past the network's rules
ml.Workspace("legacy", **sound.workspace("legacy", v1_legacy_mode=True))

# GL-AZ-AML-004: open in spite of its network
ml.Workspace("behind", **sound.workspace("behind", allow_public_access_when_behind_vnet=True))

# GL-AZ-AML-005: the next update takes live traffic with it
ml.OnlineEndpoint("online-traffic", **sound.endpoint("online-traffic", traffic={"blue": 100}))

FILTER = cognitiveservices.RaiPolicy("strict", **sound.content_filter("strict"))

# GL-AZ-OAI-002: a filter that notes, and lets pass
LAX = cognitiveservices.RaiPolicy("lax", **sound.content_filter("lax", blocking=False))

# GL-AZ-OAI-002: medium harm passes
HIGH = cognitiveservices.RaiPolicy("high", **sound.content_filter("high", threshold="High"))

# GL-AZ-OAI-007: instructions hidden in documents are followed
OPEN = cognitiveservices.RaiPolicy(
    "unshielded", **sound.content_filter("unshielded", attacks=["Jailbreak"])
)

FIRST = cognitiveservices.Deployment(
    "chat",
    **sound.deployment("chat", rai_policy_name="strict"),
    opts=pulumi.ResourceOptions(depends_on=[FILTER, LAX]),
)

# GL-AZ-OAI-001: whatever filter Azure takes
SECOND = cognitiveservices.Deployment(
    "unfiltered",
    **sound.deployment("unfiltered", rai_policy_name=None),
    opts=pulumi.ResourceOptions(depends_on=[FIRST]),
)

# GL-AZ-OAI-003: another model one morning
THIRD = cognitiveservices.Deployment(
    "unpinned",
    **sound.deployment("unpinned", version_upgrade_option="OnceNewDefaultVersionAvailable"),
    opts=pulumi.ResourceOptions(depends_on=[SECOND]),
)

# GL-AZ-OAI-006: a filter that is not there
FOURTH = cognitiveservices.Deployment(
    "misfiltered",
    **sound.deployment("misfiltered", rai_policy_name="stricter"),
    opts=pulumi.ResourceOptions(depends_on=[THIRD]),
)

# GL-AZ-LOC-003: prompts are answered anywhere in the world
FIFTH = cognitiveservices.Deployment(
    "travelling",
    **sound.deployment("travelling", sku="GlobalStandard"),
    opts=pulumi.ResourceOptions(depends_on=[FOURTH]),
)

# GL-AZ-OAI-005: two at once fail with 409; it waits for others, not for the one beside it
cognitiveservices.Deployment(
    "at-once",
    **sound.deployment("at-once", of="pair"),
    opts=pulumi.ResourceOptions(depends_on=[FIFTH]),
)
cognitiveservices.Deployment("alone", **sound.deployment("alone", of="pair"))

# GL-AZ-OAI-004: tokens and private endpoints find no name
cognitiveservices.Account("unnamed", **sound.openai("unnamed", custom_sub_domain_name=None))

# GL-AZ-AML-007: whatever is asked is answered
ml.ServerlessEndpoint(
    "unsafe",
    **sound.serverless("unsafe", content_safety={"content_safety_status": "Disabled"}),
)

# GL-AZ-EVT-001: a tier without private endpoints
eventhub.Namespace("basic-events", **sound.events("basic", sku={"name": "Basic"}))

# GL-AZ-EVT-002: throttled when it matters
eventhub.Namespace("small", **sound.events("small", is_auto_inflate_enabled=False))
