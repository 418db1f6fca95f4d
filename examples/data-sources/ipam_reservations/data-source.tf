# What is kept out of circulation in this part of the network, and why.
data "ipam_reservations" "frankfurt" {
  within = "10.0.0.0/16"
  labels = { site = "fra1" }
}

output "reasons" {
  value = { for reservation in data.ipam_reservations.frankfurt.reservations : reservation.cidr => reservation.reason }
}
