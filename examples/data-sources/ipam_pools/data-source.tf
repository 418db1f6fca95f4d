data "ipam_pools" "private" {
  vrf    = "default"
  labels = { tier = "private" }
}

output "utilisation" {
  value = { for pool in data.ipam_pools.private.pools : pool.name => pool.utilisation }
}
