# A secret that is made here, and stored in the same run. Here a file stands for the secret store; with the resource of a real
# one, give its write-only attribute the same value. Another version is another secret.
locals {
  version = 1
}

ephemeral "ipam_token_secret" "metrics" {}

resource "terraform_data" "store" {
  triggers_replace = local.version

  provisioner "local-exec" {
    command     = "umask 077; printf %s \"$SECRET\" >metrics.key"
    environment = { SECRET = ephemeral.ipam_token_secret.metrics.secret }
  }
}

resource "ipam_token" "metrics" {
  name              = "metrics"
  roles             = ["metrics"]
  secret_wo         = ephemeral.ipam_token_secret.metrics.secret
  secret_wo_version = local.version
  depends_on        = [terraform_data.store]
}
