data "ipam_tokens" "all" {}

# Those that nobody has ever used.
output "unused" {
  value = [for token in data.ipam_tokens.all.tokens : token.name if token.last_used_at == null] # ["ci"]
}
