mock_provider "ipam" {
  source = "./tests/mocks"
}

variables {
  environment = "dev"
  hosts       = 10
}

# Another answer than that of the mocks. Runs of one file share a state, so that it is the first run of a file.
run "a_small_cluster" {
  override_resource {
    target = ipam_allocation.cluster
    values = {
      prefix_length = 26
      blocks = {
        primary = { cidr = "10.0.8.0/26", pool = "primary", vrf = "default", usable = 59 }
        cgnat   = { cidr = "100.64.8.0/21", pool = "cgnat", vrf = "default", usable = 2043 }
      }
    }
  }

  assert {
    condition     = output.node_subnets[1] == "10.0.8.32/27"
    error_message = "There should be two halves of 10.0.8.0/26."
  }
}
