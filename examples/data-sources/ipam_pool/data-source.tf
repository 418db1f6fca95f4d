data "ipam_pool" "primary" {
  vrf  = "default"
  name = "primary"
}

# Fails the plan in good time before the pool is full.
check "primary_has_room" {
  assert {
    condition     = data.ipam_pool.primary.utilisation < 0.9
    error_message = "Pool primary is nearly full."
  }
}
