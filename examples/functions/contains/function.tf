output "node" {
  value = provider::ipam::contains("10.0.0.0/16", "10.0.3.7") # true
}

output "network" {
  value = provider::ipam::contains("2001:db8::/48", "2001:db8:1::/64") # false
}

# A precondition that names the mistake before anything is made.
variable "gateway" {
  type    = string
  default = "10.0.0.1"

  validation {
    condition     = provider::ipam::contains("10.0.0.0/16", var.gateway)
    error_message = "The gateway must lie in 10.0.0.0/16."
  }
}
