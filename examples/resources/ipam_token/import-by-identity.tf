import {
  to = ipam_token.ci
  identity = {
    name = "ci"
  }
}
