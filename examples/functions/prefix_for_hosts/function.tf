output "prefix_length" {
  value = provider::ipam::prefix_for_hosts(500) # 23
}
