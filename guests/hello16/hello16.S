# The smallest guest: a boot sector, loaded and entered at 0:0x7c00 in 16-bit real mode. Prints a
# greeting as a driver of a real serial port does, waiting until the transmitter is empty, and ends
# well.
    .set    SERIAL_PORT, 0x3f8
    .set    LINE_STATUS, SERIAL_PORT + 5
    .set    TRANSMITTER_EMPTY, 0x20
    .set    EXIT_PORT, 0x500

    .code16
    .section .text, "ax", @progbits
    .globl _start
_start:
    cli
    xorw    %ax, %ax
    movw    %ax, %ds
    cld
    movw    $greeting, %si
next:
    lodsb
    testb   %al, %al
    jz      done
    movb    %al, %bl
wait:
    movw    $LINE_STATUS, %dx
    inb     %dx, %al
    testb   $TRANSMITTER_EMPTY, %al
    jz      wait
    movb    %bl, %al
    movw    $SERIAL_PORT, %dx
    outb    %al, %dx
    jmp     next
done:
    xorw    %ax, %ax
    movw    $EXIT_PORT, %dx
    outw    %ax, %dx
halt:
    hlt
    jmp     halt

greeting:
    .asciz "Hello from a vmwire guest: 16-bit real mode\n"

    .org    510
    .byte   0x55, 0xaa

    .section .note.GNU-stack, "", @progbits
