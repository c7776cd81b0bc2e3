"""The courier: carries certified messages from shard to shard and is trusted with nothing."""
