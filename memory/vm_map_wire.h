/*
 * The man pages' API: vm_map_wire(9) and vm_page_wire(9) of FreeBSD, with what a program needs
 * around them (maps, objects, pages, holds), for C11 and C++. It stands over the same code as the
 * C++ API; there is no second implementation.
 *
 * Addresses and sizes are in bytes, page indexes and counts of pages in pages of 4096 bytes.
 * Ranges are half-open: [start, end). Six functions are the man pages' own, to the letter:
 * vm_map_wire, vm_map_unwire, vm_page_wire, vm_page_wire_mapped, vm_page_unwire,
 * vm_page_unwire_noq. The others have FreeBSD's names where FreeBSD has one.
 *
 * Functions that return int return KERN_SUCCESS or a KERN_* error, and a call that fails has
 * changed nothing but which pages are resident. Errors of all of them, not repeated below:
 * KERN_INVALID_ARGUMENT for a handle that is NULL, destroyed or of another kind, and for an
 * out-pointer that is NULL and not said to be optional.
 *
 * Invariants: those of vm_map_check.
 * Thread safety: thread-safe. A handle must not be destroyed while another thread uses it.
 */
#ifndef VMWIRE_MEMORY_VM_MAP_WIRE_H_
#define VMWIRE_MEMORY_VM_MAP_WIRE_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t vm_offset_t;  /* An address, in bytes. */
typedef uint64_t vm_size_t;    /* A size, in bytes. */
typedef uint64_t vm_ooffset_t; /* An offset into an object, in bytes. */
typedef uint64_t vm_pindex_t;  /* The index of a page of an object, or a number of pages. */
typedef uint8_t vm_prot_t;     /* VM_PROT_*, or-ed. */

typedef struct vm_map* vm_map_t;
typedef struct vm_object* vm_object_t;
typedef struct vm_page* vm_page_t;
typedef struct vm_hold* vm_hold_t;

/* What the functions return: the values of FreeBSD and Mach. */
#define KERN_SUCCESS 0
#define KERN_INVALID_ADDRESS 1
#define KERN_PROTECTION_FAILURE 2
#define KERN_NO_SPACE 3
#define KERN_INVALID_ARGUMENT 4
#define KERN_FAILURE 5
#define KERN_RESOURCE_SHORTAGE 6
#define KERN_NOT_RECEIVER 7
#define KERN_NO_ACCESS 8
#define KERN_OUT_OF_BOUNDS 9
#define KERN_ABORTED 14

/* The rights of an entry. */
#define VM_PROT_NONE 0x00
#define VM_PROT_READ 0x01
#define VM_PROT_WRITE 0x02
#define VM_PROT_EXECUTE 0x04
#define VM_PROT_ALL 0x07

/* The flags of vm_map_wire and vm_map_unwire, or-ed. Any other bit is KERN_INVALID_ARGUMENT. */
#define VM_MAP_WIRE_SYSTEM 0  /* Wirings nest, one count each; not limited. */
#define VM_MAP_WIRE_USER 1    /* At most one for each entry; charged to the map's user limit. */
#define VM_MAP_WIRE_NOHOLES 0 /* A page that cannot be wired fails the call. */
#define VM_MAP_WIRE_HOLESOK 2 /* Gaps, guards and what may not be wired are passed over. */
#define VM_MAP_WIRE_WRITE 4   /* An entry that is not writable may not be wired. */

/* The queues of pages that are not wired. */
#define PQ_INACTIVE 0
#define PQ_ACTIVE 1
#define PQ_LAUNDRY 2
#define PQ_UNSWAPPABLE 3
#define PQ_NONE 255

/* The kinds of vm_object_allocate. */
#define OBJT_DEFAULT 0 /* Anonymous memory. */
#define OBJT_MEMFD 1   /* A memfd. */
#define OBJT_HUGETLB                                                          \
  2 /* A memfd of 2 MiB pages; its entries are cut only at multiples of them. \
     */
#define OBJT_GUEST_MEMFD 3 /* Made by a KVM virtual machine: only vm_object_from_fd takes one. */
#define OBJT_SIMULATED 4   /* No host memory: counts and faults only. */

/* The levels of vm_map_set_pin_level. */
#define VM_PIN_RESIDENT 0 /* Never reclaimed; the frame may move. */
#define VM_PIN_PINNED 1   /* The frame does not move. */
#define VM_PIN_GUARDED 2  /* Both, and what would detach the address is refused: the default. */

/*
 * Wires every page of [start, end): faults it in and pins it, so that it stays where it is until
 * the last wiring is undone. All of the range, or nothing. A repeated system wiring adds one to the
 * count of each entry; a repeated user wiring changes nothing. What lies outside [min, max) of the
 * map is not part of the range. A wiring waits, without limit, for another thread's wiring of the
 * same entry to end.
 *
 * KERN_SUCCESS: wired; also if start == end, before anything else is looked at.
 * KERN_INVALID_ARGUMENT: unaligned, start above end, an unknown flag, or the range would cut a
 *   large page.
 * KERN_INVALID_ADDRESS: a gap, a guard, an entry with neither VM_PROT_READ nor VM_PROT_EXECUTE, or
 *   with VM_MAP_WIRE_WRITE one without VM_PROT_WRITE; passed over with VM_MAP_WIRE_HOLESOK.
 * KERN_RESOURCE_SHORTAGE: the user limit, the pin budget, RLIMIT_MEMLOCK, the maximum of a count,
 * or a pin level that the host does not give; what cannot fit is refused before the first fault.
 * KERN_OUT_OF_BOUNDS: an entry reaches past the end of its object.
 * Any other code: what the fault of a page returned, unchanged.
 * Source: vm_map_wire(9).
 */
int vm_map_wire(vm_map_t map, vm_offset_t start, vm_offset_t end, int flags);

/*
 * Takes one wiring back from every entry of [start, end), all of them or none: the user wiring with
 * VM_MAP_WIRE_USER, or else one system wiring. The rights of an entry do not matter, and
 * VM_MAP_WIRE_WRITE is ignored. An entry without a user wiring is no error to VM_MAP_WIRE_USER, one
 * without a system wiring is passed over with VM_MAP_WIRE_HOLESOK. A page that a longer pinned
 * extent covers stays pinned until the extent's last wired page goes. Waits as vm_map_wire does.
 *
 * KERN_SUCCESS: unwired; also if start == end, before anything else is looked at.
 * KERN_INVALID_ARGUMENT: unaligned, start above end, an unknown flag, the range would cut a large
 *   page, or an entry has no system wiring and none of USER and HOLESOK was given.
 * KERN_INVALID_ADDRESS: a gap, without VM_MAP_WIRE_HOLESOK.
 * Source: vm_map_wire(9).
 */
int vm_map_unwire(vm_map_t map, vm_offset_t start, vm_offset_t end, int flags);

/*
 * The page functions have no status. They end the process (SIGABRT) with a sentence, in every build
 * type, when the count is at its maximum of 2^30 - 1, when a page that is not wired is unwired, and
 * when the queue is not one of PQ_INACTIVE, PQ_ACTIVE, PQ_LAUNDRY and PQ_UNSWAPPABLE.
 * Source: vm_page_wire(9).
 */

/*
 * Adds one wiring to `m` and takes it off its queue.
 * REQUIRES: the page cannot go away meanwhile: it is wired, or its object is referenced.
 */
void vm_page_wire(vm_page_t m);

/*
 * The same for a page that was found through a mapping. False, and nothing done: its mappings are
 * being removed, or its count is at its maximum.
 */
bool vm_page_wire_mapped(vm_page_t m);

/*
 * Takes one wiring back; with the last one the page goes to `queue`, or, if its object is gone, is
 * freed. `m` must then not be used any more.
 */
void vm_page_unwire(vm_page_t m, int queue);

/*
 * Takes one wiring back. True: it was the last one, and the page is on no queue. A page whose
 * object is gone is freed with it.
 */
bool vm_page_unwire_noq(vm_page_t m);

/*
 * A map of [min, max), without entries. NULL, with errno and vm_map_last_error: unaligned or empty
 * bounds (EINVAL), or no memory (ENOMEM).
 */
vm_map_t vm_map_create(vm_offset_t min, vm_offset_t max);

/*
 * Ends the map, with its entries and user wirings. After success the handle is none.
 * KERN_FAILURE: it has a system wiring or a hold; vm_map_last_error names one.
 */
int vm_map_destroy(vm_map_t map);

/*
 * Maps `object` from `offset` on at [start, end), and takes a reference to it until it is removed.
 * A NULL object makes an anonymous one of the entry's length; `offset` must then be 0. The entry
 * may reach past the object's end: that part can be mapped but not wired. With wire-future the new
 * entry is user-wired, and if that fails, with any code of vm_map_wire, nothing is mapped.
 * KERN_INVALID_ARGUMENT: unaligned start, end or offset, an unknown bit in `prot` or `max`, or
 *   offset + length above 2^64.
 * KERN_INVALID_ADDRESS: empty, inverted, or not wholly inside [min, max) of the map.
 * KERN_PROTECTION_FAILURE: `prot` has a right that `max` lacks.
 * KERN_NO_SPACE: an entry or a guard is there already.
 */
int vm_map_insert(vm_map_t map, vm_object_t object, vm_ooffset_t offset, vm_offset_t start,
                  vm_offset_t end, vm_prot_t prot, vm_prot_t max);

/*
 * Puts a guard at [start, end): mapped to nothing, and never wired. Errors as vm_map_insert.
 */
int vm_map_insert_guard(vm_map_t map, vm_offset_t start, vm_offset_t end);

/*
 * Unmaps [start, end). Gaps are fine; user wirings are dropped.
 * KERN_INVALID_ARGUMENT: unaligned, start above end, or the range would cut a large page.
 * KERN_FAILURE: a system wiring, or a held page, anywhere in the range.
 */
int vm_map_remove(vm_map_t map, vm_offset_t start, vm_offset_t end);

/*
 * The same, but waits until system wirings and holds are gone: `timeout_ns` nanoseconds, not at all
 * if it is 0, for ever if it is negative. KERN_FAILURE: they were not gone in time.
 */
int vm_map_remove_wait(vm_map_t map, vm_offset_t start, vm_offset_t end, int64_t timeout_ns);

/*
 * Sets the rights of all entries in [start, end); gaps and guards are passed over. Wirings stay,
 * whatever the new rights are.
 * KERN_INVALID_ARGUMENT: unaligned, start above end, an unknown bit in `prot`, or the range would
 * cut a large page. KERN_PROTECTION_FAILURE: an entry's maximum lacks a right of `prot`.
 */
int vm_map_protect(vm_map_t map, vm_offset_t start, vm_offset_t end, vm_prot_t prot);

/*
 * Cuts the entry that holds `at` there, and keeps the cut until the next wire or unwire of it. In a
 * gap, outside the map, or where a boundary is already, nothing is done.
 * KERN_INVALID_ARGUMENT: unaligned, or inside a large page.
 */
int vm_map_clip(vm_map_t map, vm_offset_t at);

/* Whether entries inserted from now on are user-wired. Those that are there are left alone. */
void vm_map_set_wire_future(vm_map_t map, bool on);

/* mlockall(MCL_CURRENT): vm_map_wire of the whole map with USER | HOLESOK. Its errors. */
int vm_map_wire_all(vm_map_t map);

/* munlockall: clears wire-future; vm_map_unwire of the whole map with USER | HOLESOK. */
int vm_map_unwire_all(vm_map_t map);

/*
 * How many pages may be user-wired in the map; UINT64_MAX, the default: any number. A limit below
 * what is wired already takes nothing away.
 */
void vm_map_set_user_wire_limit(vm_map_t map, uint64_t pages);

/* Pages that are user-wired: one for each (entry, page). 0 for what is no map. */
uint64_t vm_map_user_wired_pages(vm_map_t map);

/*
 * How firmly the map's wirings hold: VM_PIN_*. KERN_INVALID_ARGUMENT: not one of them.
 * KERN_FAILURE: the map has been wired before.
 */
int vm_map_set_pin_level(vm_map_t map, int level);

/*
 * The sentence of this thread's last call of this API that failed: range, limit, cause and remedy;
 * "" if the last call succeeded. Never NULL; good until this thread's next call.
 */
const char* vm_map_last_error(void);

/* An entry, as vm_map_entry_at tells it. */
struct vm_map_entry_info {
  vm_offset_t start, end;
  vm_object_t object; /* NULL for a guard. No reference is given with it. */
  vm_ooffset_t offset;
  vm_prot_t protection, max_protection;
  uint32_t system_wires;
  bool user_wired;
  bool in_transition; /* A thread is wiring or unwiring it at this moment. */
  bool guard;
};

/*
 * The entry that holds `addr`, or the next one above it. KERN_INVALID_ADDRESS: there is none, and
 * `out` is as it was.
 */
int vm_map_entry_at(vm_map_t map, vm_offset_t addr, struct vm_map_entry_info* out);

/*
 * KERN_SUCCESS if entries are sorted, disjoint, aligned and inside the map, none is in transition
 * that no thread works on, the user-wired pages are the sum over the entries, and every page of
 * every wired entry is resident, counted and pinned once; else KERN_FAILURE, and vm_map_last_error
 * says what is wrong.
 */
int vm_map_check(vm_map_t map);

/* Why a wiring failed. */
enum vm_wire_reason {
  VM_WIRE_REASON_NONE = 0,         /* It did not fail. */
  VM_WIRE_REASON_HOLE = 1,         /* A page without an entry. */
  VM_WIRE_REASON_UNREADABLE = 2,   /* An entry with neither READ nor EXECUTE. */
  VM_WIRE_REASON_NOT_WRITABLE = 3, /* VM_MAP_WIRE_WRITE, and an entry without WRITE. */
  VM_WIRE_REASON_GUARD = 4,
  VM_WIRE_REASON_LIMIT = 5,          /* The user limit, or a pin budget. */
  VM_WIRE_REASON_BACKING_END = 6,    /* The entry reaches past its object's end. */
  VM_WIRE_REASON_PIN_ERROR = 7,      /* The host refused the pin. */
  VM_WIRE_REASON_CANCELLED = 8,      /* keep_going said false. */
  VM_WIRE_REASON_TIMED_OUT = 9,      /* The time was up. */
  VM_WIRE_REASON_FAULT = 10,         /* A page could not be made resident. */
  VM_WIRE_REASON_COUNT_MAXIMUM = 11, /* A count is as high as it can be. */
  VM_WIRE_REASON_LARGE_PAGE = 12,    /* The range would cut a large page. */
  VM_WIRE_REASON_ARGUMENT = 13       /* A handle, the alignment, the order or a flag is wrong. */
};

/*
 * What a wiring did. After success, pages_wired and pages_skipped are the pages of the range
 * (inside the map's bounds) that are wired, and that VM_MAP_WIRE_HOLESOK passed over, gaps
 * included. After a failure both are 0.
 */
struct vm_wire_result {
  uint64_t pages_wired, pages_skipped;
  uint64_t needed, available; /* Pages; only with VM_WIRE_REASON_LIMIT, or else 0. */
  vm_offset_t failed_at;      /* The first page that failed; 0 after success. */
  int reason;                 /* enum vm_wire_reason */
};

/*
 * vm_map_wire with its result. It gives up after `timeout_ns` nanoseconds, never if that is
 * negative; 0: it does not wait for another thread's wiring. `keep_going` is called with `ctx`, on
 * this thread and without a lock held, between one part of the pages to be faulted and the next, at
 * most 2 MiB at a time, and ends the wiring with false; it may call this API. `keep_going`, `ctx`
 * and `result` may be NULL.
 * KERN_ABORTED: the time was up, or keep_going said false. All is undone.
 * Other codes: as vm_map_wire.
 */
int vm_map_wire_ex(vm_map_t map, vm_offset_t start, vm_offset_t end, int flags, int64_t timeout_ns,
                   bool (*keep_going)(void* ctx, uint64_t pages_done, uint64_t pages_total),
                   void* ctx, struct vm_wire_result* result);

/*
 * Holds [addr, addr + len), in bytes and at any alignment, for a transfer that does `prot` to it:
 * the pages stay pinned and mapped at `*host` until vm_hold_release, even if they are unwired
 * meanwhile. KERN_INVALID_ARGUMENT: len is 0, addr + len wraps, or `prot` is none or has an unknown
 * bit. KERN_INVALID_ADDRESS: a gap. KERN_PROTECTION_FAILURE: an entry lacks `prot`. KERN_FAILURE: a
 * page is not wired. KERN_NO_SPACE: the range is not one piece of host memory.
 */
int vm_map_hold(vm_map_t map, vm_offset_t addr, vm_size_t len, vm_prot_t prot, void** host,
                vm_hold_t* hold);

/* Ends a hold; what was only held is unpinned. NULL: nothing is done. */
void vm_hold_release(vm_hold_t hold);

/*
 * A new object of `pages` pages, none of them resident, with one reference. NULL, with errno and
 * vm_map_last_error: no such type or no pages (EINVAL), or what the host says.
 */
vm_object_t vm_object_allocate(int type, vm_pindex_t pages);

/*
 * The same over a memfd or a guest_memfd made elsewhere. The descriptor is duplicated. NULL, with
 * errno and vm_map_last_error: not an open descriptor (EBADF), not such memory or no pages
 * (EINVAL), or what the host says.
 */
vm_object_t vm_object_from_fd(int fd, vm_pindex_t pages);

/* Adds a reference. */
void vm_object_reference(vm_object_t object);

/*
 * Drops a reference. With the last one, those of maps included, the object goes; pages that are
 * still wired by vm_page_wire live on without it. NULL: nothing is done.
 */
void vm_object_deallocate(vm_object_t object);

/*
 * Gives the pages [start, end) back to the host: they are not resident afterwards, and read as zero
 * when they are faulted again.
 * KERN_INVALID_ARGUMENT: start above end. KERN_OUT_OF_BOUNDS: past the object's end.
 * KERN_FAILURE: a page is wired or held, or the object is sealed.
 */
int vm_object_discard(vm_object_t object, vm_pindex_t start, vm_pindex_t end);

/*
 * OBJT_SIMULATED: the fault of `page` fails with `kern_code`, until that is KERN_SUCCESS again.
 * KERN_INVALID_ARGUMENT: another kind of object, or no code of this header.
 * KERN_OUT_OF_BOUNDS: past the object's end.
 */
int vm_object_fail_fault_at(vm_object_t object, vm_pindex_t page, int kern_code);

/* OBJT_SIMULATED: faults so far of pages that were not resident, those that failed included. */
uint64_t vm_object_fault_calls(vm_object_t object);

/* The page, if it is resident; else NULL. Good while the page is wired or not discarded. */
vm_page_t vm_page_lookup(vm_object_t object, vm_pindex_t page);

/*
 * The wirings of the page: one for each (entry, page) with any wiring, and one for each
 * vm_page_wire. Holds are none.
 */
uint32_t vm_page_wire_count(vm_page_t m);

/* PQ_*: the queue that the page is on; PQ_NONE while it is wired. */
int vm_page_queue(vm_page_t m);

/* Whether the page is pinned on the host: wired, cached, held, or in an extent that is. */
bool vm_page_is_pinned(vm_page_t m);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* VMWIRE_MEMORY_VM_MAP_WIRE_H_ */
