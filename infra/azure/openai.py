"""Azure OpenAI: an account that takes no keys, what it refuses to say, and its deployments.

Deployments of one account are made and deleted one after the other: two at once fail with a
conflict (409). Each depends on the one before it, and Pulumi deletes in the reverse order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import cognitiveservices as ai

from infra.azure.context import Context
from infra.azure.settings import ModelDeployment
from infra.azure.settings import OpenAI as Settings

HARMS = ("Hate", "Sexual", "Violence", "Selfharm")
"""Judged by severity, in what is asked and in what is answered."""
ATTACKS = (("Jailbreak", "Prompt"), ("Indirect Attack", "Prompt"))
PROTECTED = (("Protected Material Text", "Completion"), ("Protected Material Code", "Completion"))


@dataclass(frozen=True)
class OpenAIArgs:
    """What the account serves."""

    settings: Settings


class OpenAI(pulumi.ComponentResource):
    """The account. ``account_id`` is known once all deployments are: a change of the account
    while one is being made would fail as well."""

    account_id: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    deployments: Sequence[ai.Deployment]

    def __init__(
        self,
        name: str,
        context: Context,
        args: OpenAIArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:OpenAI", name, None, opts)
        self._context, self._args = context, args
        account = self._account(name)
        policy = self._filter(account)
        self.deployments = self._chain(account, policy)
        last = self.deployments[-1].id
        self.account_id = pulumi.Output.all(account.id, last).apply(lambda ids: str(ids[0]))
        self.endpoint = account.properties.apply(lambda properties: properties.endpoint)
        self.register_outputs({"accountId": self.account_id, "endpoint": self.endpoint})

    def _account(self, name: str) -> ai.Account:
        context = self._context
        own = context.names.short("oai")
        return ai.Account(
            name,
            account_name=own,
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind="OpenAI",
            sku=ai.SkuArgs(name="S0"),
            identity=ai.IdentityArgs(type=ai.ResourceIdentityType.SYSTEM_ASSIGNED),
            properties=ai.AccountPropertiesArgs(
                custom_sub_domain_name=own,  # tokens of Entra ID are taken at such a name only
                disable_local_auth=True,
                public_network_access=context.public_access,
                network_acls=ai.NetworkRuleSetArgs(
                    default_action=context.default_action,
                    bypass="AzureServices",  # Azure ML reaches it as a trusted service
                ),
                restrict_outbound_network_access=True,
                allowed_fqdn_list=list(self._args.settings.allowed_hosts),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _filter(self, account: ai.Account) -> ai.RaiPolicy:
        return ai.RaiPolicy(
            "filter",
            rai_policy_name="greenlight",
            account_name=account.name,
            resource_group_name=self._context.group,
            tags=self._context.tags,
            properties=ai.RaiPolicyPropertiesArgs(
                base_policy_name="Microsoft.DefaultV2",
                mode=ai.RaiPolicyMode.BLOCKING,
                content_filters=content_filters(self._args.settings.filter_threshold),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _chain(self, account: ai.Account, policy: ai.RaiPolicy) -> list[ai.Deployment]:
        made: list[ai.Deployment] = []
        before: pulumi.Resource = policy
        for settings in self._args.settings.deployments:
            made.append(self._deployment(settings, account, policy, before))
            before = made[-1]
        return made

    def _deployment(
        self,
        settings: ModelDeployment,
        account: ai.Account,
        policy: ai.RaiPolicy,
        before: pulumi.Resource,
    ) -> ai.Deployment:
        return ai.Deployment(
            settings.name,
            deployment_name=settings.name,
            account_name=account.name,
            resource_group_name=self._context.group,
            tags=self._context.tags,
            sku=ai.SkuArgs(name=settings.sku, capacity=settings.capacity),
            properties=ai.DeploymentPropertiesArgs(
                model=ai.DeploymentModelArgs(
                    format="OpenAI", name=settings.model, version=settings.version
                ),
                rai_policy_name=policy.name,
                version_upgrade_option=(
                    ai.DeploymentModelVersionUpgradeOption.NO_AUTO_UPGRADE
                ),  # another version is another release
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[before]),
        )


def content_filters(threshold: str) -> list[ai.RaiPolicyContentFilterArgs]:
    """Harms from ``threshold`` on, both ways; attacks and others' material at all."""
    harms = [
        ai.RaiPolicyContentFilterArgs(
            name=harm, source=source, severity_threshold=threshold, blocking=True, enabled=True
        )
        for harm in HARMS
        for source in ("Prompt", "Completion")
    ]
    others = [
        ai.RaiPolicyContentFilterArgs(name=name, source=source, blocking=True, enabled=True)
        for name, source in (*ATTACKS, *PROTECTED)
    ]
    return harms + others
