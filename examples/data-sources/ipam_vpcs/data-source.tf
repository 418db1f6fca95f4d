# VPCs of development that nobody uses.
data "ipam_vpcs" "dev" {
  vrf    = "dev"
  labels = { environment = "dev" }
}

output "unused" {
  value = [for vpc in data.ipam_vpcs.dev.vpcs : vpc.name if vpc.allocations == 0]
}
