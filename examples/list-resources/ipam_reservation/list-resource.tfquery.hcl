# What is kept out of circulation in a part of the address space.
list "ipam_reservation" "inside" {
  provider = ipam

  config {
    within = "10.0.0.0/8"
  }
}
