# What an interrupted apply of this owner has made, and no state has confirmed since.
data "ipam_allocations" "left_over" {
  owner     = "network-production"
  confirmed = false
}

output "left_over" {
  value = length(data.ipam_allocations.left_over.allocations) # 0
}
