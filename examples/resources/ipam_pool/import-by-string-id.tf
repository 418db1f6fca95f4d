import {
  to = ipam_pool.corporate
  id = "default/corporate"
}
