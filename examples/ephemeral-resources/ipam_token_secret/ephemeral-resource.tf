ephemeral "ipam_token_secret" "ci" {}

# It goes to the server, and, by the write-only attribute of its resource, to a secret store. Increase the version at both for
# another secret.
resource "ipam_token" "ci" {
  name              = "ci"
  roles             = ["allocator"]
  secret_wo         = ephemeral.ipam_token_secret.ci.secret
  secret_wo_version = 1
}
