# Where a guest of somebody else's boot protocol begins: 32-bit protected mode, flat segments, no
# paging, interrupts off, and what the protocol passes in EAX and EBX. There is no usable stack yet.
    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    movl    $pc_stack_top, %esp
    xorl    %ebp, %ebp
    cld
    pushl   %ebx
    pushl   %eax
    call    pc_main
    pushl   %eax
    call    guest_exit
    .size _start, . - _start

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip 16384
    # So that the stack is aligned to 16 bytes where pc_main is called, behind its two arguments.
    .skip 8
pc_stack_top:

    .section .note.GNU-stack, "", @progbits
