data "ipam_free" "primary" {
  pool          = "primary"
  prefix_length = 22
}

output "next" {
  value = data.ipam_free.primary.next
}

output "advice" {
  value = "${data.ipam_free.primary.fits} more /22 fit. ${data.ipam_free.primary.advice}"
}
