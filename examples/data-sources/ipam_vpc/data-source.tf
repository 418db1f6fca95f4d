data "ipam_vpc" "prod" {
  name = "prod"
}

output "vrf" {
  value = data.ipam_vpc.prod.vrf
}
