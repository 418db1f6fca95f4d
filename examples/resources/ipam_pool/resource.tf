# Two ranges, of which blocks of /20 to /26 are given. Ranges are added and removed in place.
resource "ipam_pool" "corporate" {
  name              = "corporate"
  ranges            = ["10.64.0.0/16", "10.80.0.0/16"]
  min_prefix_length = 20
  max_prefix_length = 26

  # Who released a block by mistake gets it back within a day.
  release_cooldown_seconds = 86400

  labels = {
    tier = "private"
  }
}

# A part of it for one team, wherever there is room: a /18 and a /20.
resource "ipam_pool" "payments" {
  name                 = "payments"
  parent               = ipam_pool.corporate.id
  range_prefix_lengths = [18, 20]
  strategy             = "sparse"

  required_labels = {
    team        = ["payments"]
    environment = [] # any value
  }
}

# IPv6, for a /64 each.
resource "ipam_pool" "v6" {
  name                  = "v6"
  ranges                = ["2001:db8:1000::/36"]
  min_prefix_length     = 64
  max_prefix_length     = 64
  default_prefix_length = 64
}
