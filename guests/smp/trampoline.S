# Where a CPU begins that was started by SIPI: 16-bit real mode, in a copy of this at the start of
# the page SMP_TRAMPOLINE_ADDRESS. It goes to 32-bit protected mode, takes the stack and the number
# that cpus.c left for it, says that it is there, and calls smp_cpu_main.
    .section .rodata.trampoline, "a", @progbits
    .code16
    .globl smp_trampoline
    .globl smp_trampoline_end
smp_trampoline:
    cli
    movw    %cs, %ax
    movw    %ax, %ds
    lgdtl   gdt_pointer - smp_trampoline
    movl    %cr0, %eax
    andl    $0x9fffffff, %eax       # Caches on: INIT leaves CD and NW set.
    orl     $1, %eax
    movl    %eax, %cr0
    ljmpl   $0x08, $protected_mode

    .balign 4
gdt_pointer:
    .word   gdt_end - gdt - 1
    .long   gdt
smp_trampoline_end:

    .section .text, "ax", @progbits
    .code32
protected_mode:
    movw    $0x10, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    movl    smp_next_stack, %esp
    xorl    %ebp, %ebp
    cld
    # The stack is to be aligned to 16 bytes where a function is called, behind its argument.
    subl    $12, %esp
    pushl   smp_next_cpu
    lock incl smp_cpus_started
    call    smp_cpu_main
halt:
    cli
    hlt
    jmp     halt

    # Flat code and data. In .data, since a CPU marks a descriptor as used when it loads it.
    .section .data.gdt, "aw", @progbits
    .balign 8
gdt:
    .quad   0
    .quad   0x00cf9a000000ffff
    .quad   0x00cf92000000ffff
gdt_end:

    .section .note.GNU-stack, "", @progbits
