# Where a guest written in C begins: 64-bit mode, CPL 3, boot info in RDI. The monitor has loaded
# and zeroed all of the image, but there is no usable stack yet.
    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    leaq    guest_stack_top(%rip), %rsp
    xorl    %ebp, %ebp
    cld
    call    guest_main
    movl    %eax, %edi
    call    guest_exit
    .size _start, . - _start

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip 16384
guest_stack_top:

    .section .note.GNU-stack, "", @progbits
