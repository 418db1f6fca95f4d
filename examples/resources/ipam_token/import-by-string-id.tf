import {
  to = ipam_token.ci
  id = "ci"
}
