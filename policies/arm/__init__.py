"""Azure resources as Azure Resource Manager sees them, whatever tool declared them."""
