variable "on_premises" {
  type    = list(string)
  default = ["10.64.0.0/16", "10.65.0.0/16", "192.168.0.0/24"]

  validation {
    condition     = !provider::ipam::overlaps(var.on_premises...)
    error_message = "Two of the networks overlap."
  }
}

output "two" {
  value = provider::ipam::overlaps("10.0.0.0/16", "10.0.2.0/23") # true
}

output "list" {
  value = provider::ipam::overlaps(var.on_premises...) # false
}
