"""An observer of a real testnet: tails every validator over HTTP and judges what they say (`ostraka observe`)."""
