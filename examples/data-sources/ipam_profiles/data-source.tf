data "ipam_profiles" "all" {}

output "roles" {
  value = { for profile in data.ipam_profiles.all.profiles : profile.name => profile.members[*].role }
}
