# Would another cluster of 500 hosts get its ranges today?
data "ipam_preview" "next" {
  vpc   = "prod"
  hosts = 500
}

check "room_for_another_cluster" {
  assert {
    condition     = data.ipam_preview.next.available
    error_message = coalesce(data.ipam_preview.next.refusal, "There is room.")
  }
}

output "nodes" {
  value = data.ipam_preview.next.blocks["primary"].cidr
}
