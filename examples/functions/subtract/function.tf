# What a firewall may let through: the whole network but for two of its parts.
output "others" {
  value = provider::ipam::subtract(["10.0.0.0/22"], ["10.0.0.0/24", "10.0.2.0/23"]) # ["10.0.1.0/24"]
}
