output "hosts" {
  value = provider::ipam::usable_hosts(23) # 507
}
