data "ipam_vrfs" "all" {}

output "vpcs_by_vrf" {
  value = { for vrf in data.ipam_vrfs.all.vrfs : vrf.name => vrf.vpcs }
}
