output "subnets" {
  value = provider::ipam::split("10.0.0.0/16", [20, 20, 18]) # ["10.0.0.0/20", "10.0.16.0/20", "10.0.64.0/18"]
}

# By name.
locals {
  sizes = {
    a_nodes    = 20
    b_services = 24
    c_gateways = 28
  }
}

output "by_name" {
  value = zipmap(keys(local.sizes), provider::ipam::split("10.1.0.0/16", values(local.sizes))) # {"a_nodes": "10.1.0.0/20", "b_services": "10.1.16.0/24", "c_gateways": "10.1.17.0/28"}
}
