// The one place where <linux/kvm.h> is included.
//
// The header of Linux 6.1 declares flexible arrays with an empty struct in front, which has size 1
// in C++: kvm_cpuid2, kvm_msrs and others come out too large, and the ioctl numbers, which hold the
// size, wrong. So the macro is replaced by what it means, and the sizes of C are asserted.
//
// Constants that are newer than those headers stand at the end; each is used only after
// KVM_CHECK_EXTENSION.
//
// Invariants: nothing else of this project includes <linux/kvm.h>.
// Thread safety: constants and types.
#ifndef VMWIRE_VMM_KVM_ABI_H_
#define VMWIRE_VMM_KVM_ABI_H_

#include <linux/stddef.h>

#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[]

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <linux/kvm.h>
#pragma GCC diagnostic pop

static_assert(sizeof(kvm_cpuid2) == 8);
static_assert(sizeof(kvm_msrs) == 8);
static_assert(sizeof(kvm_msr_list) == 4);
static_assert(sizeof(kvm_irq_routing) == 8);
static_assert(sizeof(kvm_xsave) == 4096);

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif
#ifndef KVM_CREATE_GUEST_MEMFD
struct kvm_create_guest_memfd {
  __u64 size;
  __u64 flags;
  __u64 reserved[6];
};
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#endif
static_assert(sizeof(kvm_create_guest_memfd) == 64);
// Linux 6.18: the flags of KVM_CREATE_GUEST_MEMFD that this KVM takes.
#ifndef KVM_CAP_GUEST_MEMFD_FLAGS
#define KVM_CAP_GUEST_MEMFD_FLAGS 244
#endif
#ifndef GUEST_MEMFD_FLAG_MMAP
#define GUEST_MEMFD_FLAG_MMAP (1ULL << 0)
#endif
#ifndef GUEST_MEMFD_FLAG_INIT_SHARED
#define GUEST_MEMFD_FLAG_INIT_SHARED (1ULL << 1)
#endif

#endif  // VMWIRE_VMM_KVM_ABI_H_
