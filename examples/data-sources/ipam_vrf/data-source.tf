data "ipam_vrf" "default" {
  name = "default"
}

output "pools_in_default" {
  value = data.ipam_vrf.default.pools
}
