output "hosts" {
  value = provider::ipam::usable_hosts(23) # 507
}

output "of_ipv6" {
  value = provider::ipam::usable_hosts(120, "ipv6") # 251
}
