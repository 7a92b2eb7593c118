"""Door through Pulumi: the rules as a policy pack (`pulumi preview --policy-pack`)."""
