data "ipam_reservation" "datacentre" {
  cidr = "10.0.240.0/20"
}

output "reason" {
  value = data.ipam_reservation.datacentre.reason
}
