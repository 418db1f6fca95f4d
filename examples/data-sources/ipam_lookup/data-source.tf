# Who has this address?
data "ipam_lookup" "now" {
  address = "10.0.0.7"
}

# And who had any of this network at that time?
data "ipam_lookup" "then" {
  address = "10.0.0.0/20"
  at      = "2026-01-31T12:00:00Z"
}

output "holders" {
  value = [for holder in data.ipam_lookup.now.holders : "${holder.vpc}/${holder.name}"]
}

output "was_free" {
  value = data.ipam_lookup.then.free
}
