output "prefix_length" {
  value = provider::ipam::prefix_for_hosts(500) # 23
}

# Without the bounds of the profile node-pod, for a pool of your own.
output "gateways" {
  value = provider::ipam::prefix_for_hosts(6, "ipv4") # 28
}
