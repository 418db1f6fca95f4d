terraform {
  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

# The key comes from the environment variable IPAM_API_KEY.
provider "ipam" {
  endpoint = "https://ipam.example.com"

  default_labels = {
    team       = "platform"
    managed_by = "terraform"
  }
}
