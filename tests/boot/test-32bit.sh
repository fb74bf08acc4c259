# SPDX-License-Identifier: MIT
# Debian's 32-bit kernels: with PAE and without, their own 32-bit busybox, and the 32-bit programs in user space.

# use_i386 KERNEL
use_i386() {
	"$cohort_src/scripts/fetch-guest" i386 || failed "cannot fetch the 32-bit kernels"
	initrd=$("$cohort_src/scripts/make-initramfs" i386) || failed "cannot make the initramfs"
	kernel=$guest_dir/$1 native_busybox=$guest_dir/busybox-i386
}

boot_i386() {
	use_i386 "$1"
	boot_smp "$2"
	grep -q "$3" "$work/console" || failed "the kernel does not say '$3'"
}

pae='NX (Execute Disable) protection: active'
non_pae='non-PAE kernel'
test_i386_pae_smp_1() { boot_i386 vmlinuz-686-pae 1 "$pae"; }
test_i386_pae_smp_4() { boot_i386 vmlinuz-686-pae 4 "$pae"; }
test_i386_smp_1() { boot_i386 vmlinuz-686 1 "$non_pae"; }
test_i386_smp_4() { boot_i386 vmlinuz-686 4 "$non_pae"; }

# RAM above 4 GiB is there for the kernel that can address it.
test_i386_pae_mem_6g() {
	use_i386 vmlinuz-686-pae
	boot_mem 6G 5900000 6291456
}

programs_i386() {
	"$guest_dir/user32/float32" >/dev/null 2>&1 || skipped "the host's kernel does not run 32-bit programs"
	compare 4 $programs32 utilities
}

test_i386_pae_hotplug() { use_i386 vmlinuz-686-pae && hotplug 4 10; }

test_i386_pae_programs() { use_i386 vmlinuz-686-pae && programs_i386; }
test_i386_programs() { use_i386 vmlinuz-686 && programs_i386; }
