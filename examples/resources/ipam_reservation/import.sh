# By CIDR, by VRF and CIDR, or by id:
terraform import ipam_reservation.datacentre '10.0.240.0/20'
terraform import ipam_reservation.datacentre 'default/10.0.240.0/20'
terraform import ipam_reservation.datacentre '0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11'
