# Never handed out, and whoever asks for it reads why.
resource "ipam_reservation" "datacentre" {
  cidr   = "10.0.240.0/20"
  reason = "Data centre in Frankfurt, reached over the tunnel"

  labels = {
    site = "fra1"
  }
}
