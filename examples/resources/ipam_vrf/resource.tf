# An address space of its own: the same networks may exist in it as in others.
resource "ipam_vrf" "dev" {
  name        = "dev"
  description = "Development: never routed to production"

  labels = {
    environment = "dev"
  }
}
