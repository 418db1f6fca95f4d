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
      primary_cidr  = "10.0.8.0/26"
    }
  }

  assert {
    condition     = output.node_subnets[1] == "10.0.8.32/27"
    error_message = "There should be two halves of 10.0.8.0/26."
  }
}
