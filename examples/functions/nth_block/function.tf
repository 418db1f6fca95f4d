output "third" {
  value = provider::ipam::nth_block("10.0.0.0/16", 24, 2) # "10.0.2.0/24"
}

output "last" {
  value = provider::ipam::nth_block("2001:db8::/48", 64, -1) # "2001:db8:0:ffff::/64"
}
